@echo off
rem Installs what is missing, then starts the page. All flags are passed on to app.py: webui.bat --help
setlocal
cd /d "%~dp0"
if not exist .venv\Scripts\python.exe (
    echo Making the environment .venv ...
    py -3 -m venv .venv || python -m venv .venv || (echo Python 3.11 or newer is needed: https://www.python.org/downloads/ & pause & exit /b 1)
)
copy /y /b requirements.txt+requirements-over.txt+requirements-lock.txt .venv\asked.txt >nul
fc /b .venv\asked.txt .venv\installed.txt >nul 2>&1
if errorlevel 1 (
    echo Installing the packages, once; this takes some minutes ...
    .venv\Scripts\python -c "import torch" >nul 2>&1
    if errorlevel 1 (
        .venv\Scripts\python -m pip install --quiet -r requirements.txt -c requirements-lock.txt || (echo The installation failed, see the lines above. & pause & exit /b 1)
    ) else (
        findstr /v /b "torch==" requirements.txt > .venv\wanted.txt
        .venv\Scripts\python -m pip install --quiet -r .venv\wanted.txt -c requirements-lock.txt || (echo The installation failed, see the lines above. & pause & exit /b 1)
    )
    rem In a command of its own, because pip refuses what another package's bound forbids (requirements-over.txt says why).
    .venv\Scripts\python -m pip install --quiet --no-deps -r requirements-over.txt || (echo The installation failed, see the lines above. & pause & exit /b 1)
    copy /y .venv\asked.txt .venv\installed.txt >nul
)
.venv\Scripts\python app.py %*
