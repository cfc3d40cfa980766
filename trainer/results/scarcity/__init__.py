"""The study of scarcity: do synthetic images help where there are few real ones?"""
